"""From call events to the lakehouse: spool (per process) → committer → Delta table `call_events` → reading back."""
