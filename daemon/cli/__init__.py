"""The command ``pullback``. Exit codes: 0 done, 1 refused or failed, 2 usage."""
