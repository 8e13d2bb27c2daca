"""Meeting points with other libraries, one module each; none is imported by the rest."""
