"""Files in which a source says how it wants to be cited: CITATION.cff, codemeta.json, .zenodo.json, .escape.yml."""
