"""The Kubernetes API: one client for unary calls, one reflector for everything that is watched."""
