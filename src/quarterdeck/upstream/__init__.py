"""The only place that reaches outside for an agent; every public function takes a Cleared first."""
