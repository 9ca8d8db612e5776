"""Where the person's joints are in each picture: 33 points in the image, the same in metres, and a person mask."""
