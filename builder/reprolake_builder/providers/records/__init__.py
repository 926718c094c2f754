"""Records of Zenodo and other InvenioRDM sites: the repository behind one, and the commit that was published."""
