"""How the world reaches us. Parses at the door without I/O, answers, never works inside the request."""
