"""The library of the formula. Modules, states, runner and ext_pillar only wrap it; it uses nothing of the loader."""
