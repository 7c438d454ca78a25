"""How we tell what happened: listeners. Only this room knows prometheus_client and structlog."""
