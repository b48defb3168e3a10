"""faceworks: face recognition and facial analysis with known error rates."""
