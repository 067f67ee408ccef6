"""What only maintainers run: boxing a network, the page of the zoo, pictures of the docs."""
