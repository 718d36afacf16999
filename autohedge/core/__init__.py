"""Words that every other package shares: events, orders, codes, errors, ids, clock, ports."""
