"""Images without a daemon: layers made from files and wheels, a plan of them, and the places that a plan can go to."""
