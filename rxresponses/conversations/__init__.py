"""What spans several responses: chained turns, functions as tools of the model, fallbacks.  Any sender will do."""
