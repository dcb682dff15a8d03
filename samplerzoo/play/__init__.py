"""Page of `samplerzoo play`. Only this package imports gradio."""
