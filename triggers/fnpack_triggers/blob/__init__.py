"""The blob trigger and the blob output binding. Importing this package loads no Azure library."""
