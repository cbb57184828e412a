"""Programs written with other libraries; nothing here imports them but the module that a user imports."""
