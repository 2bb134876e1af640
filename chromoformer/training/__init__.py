"""Train a network with folds held out, and predict with the models that training leaves."""
