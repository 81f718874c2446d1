"""Which frames the second stage does without: scores, decisions, and the page that shows them."""
