"""Floor 3: calls and people. What happens during a call, who may have one, and the doors it comes through."""
