"""What happens inside a serving process: who blocks its loop, what its requests wait for."""
