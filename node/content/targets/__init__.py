"""A folder that modswarm wrote comes from one version of its mod to another, or stays as it is."""
