"""The agents: each a prompt, a schema, a function. Director, Quant, Risk and Execution follow each other; Learning looks back."""
