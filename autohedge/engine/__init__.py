"""The engine: a function from recorded inputs to outputs, and the runtimes that drive it."""
