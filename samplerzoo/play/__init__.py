"""The page of `samplerzoo play`. Only this room imports gradio."""
