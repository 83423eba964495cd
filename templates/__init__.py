"""Templates of the reports, shipped as kguard.templates."""
