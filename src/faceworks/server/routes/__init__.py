"""The routes: read the form, ask the role, wait for the models, call the library, write its values."""
