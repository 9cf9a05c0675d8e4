"""SDK v1's `azureml.contrib`, of which `functions` is here."""
