"""Run analysis notebooks for many cell types, tasks and folds, and collect and verify the results."""
