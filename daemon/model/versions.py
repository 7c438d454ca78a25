"""Resource versions of Kubernetes objects: which of two answers is the newer one."""


def is_no_news(new: str, held: str) -> bool:
    """Whether a resource version is the one held, or older. They are numbers in every known API server; where they
    are not, what comes last counts as newest."""
    return new.isdigit() and held.isdigit() and int(new) <= int(held)
