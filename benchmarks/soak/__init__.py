"""Mixed load for a long while: nothing may grow, and every call must be accounted for."""
