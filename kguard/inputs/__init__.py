"""From paths to staged objects: discover, split, index, stage."""
