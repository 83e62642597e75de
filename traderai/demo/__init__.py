"""`make demo`: a market, a model, two people, and paper trades, so that a newcomer sees the whole path at work."""
