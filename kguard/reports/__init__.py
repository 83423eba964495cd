"""From a report object to text, one module per format."""
