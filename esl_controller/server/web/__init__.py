"""What an operator and a browser see."""
