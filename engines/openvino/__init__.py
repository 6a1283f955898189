"""What only OpenVINO needs: its plans timed layer by layer, and how fast it can be at best."""
