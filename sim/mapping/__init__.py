"""OpGraph x System -> Mapping -> command streams; one file a policy."""
