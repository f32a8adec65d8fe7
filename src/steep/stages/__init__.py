"""One function a stage, the only place that wires rooms together."""
