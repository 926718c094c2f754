"""conda's channels and the packages in them."""
