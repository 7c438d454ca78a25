"""What we talk about: frozen values, no I/O, no clock."""
