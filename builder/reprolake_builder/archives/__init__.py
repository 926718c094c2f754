"""Archives read as streams: zip and tar, plain or compressed, from anybody, into the files of a tree."""
