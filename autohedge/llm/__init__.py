"""Asking models: backends, the bounded queue before them, and what is made of their answers."""
