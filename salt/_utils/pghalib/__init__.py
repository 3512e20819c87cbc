"""The library of the formula. Modules, states, runner and ext_pillar are thin around it; it knows no loader."""
