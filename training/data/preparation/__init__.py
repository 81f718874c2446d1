"""From a recording to drive folders: interrupted and continued, several at once."""
