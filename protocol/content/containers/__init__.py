"""Files that hold files: where their members' data begin and end."""
