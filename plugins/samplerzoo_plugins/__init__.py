"""The samplers and guidances that come with samplerzoo, found through entry points like anybody's."""
