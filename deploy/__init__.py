"""A placement onto Ray: reservations, launch; may import `antiphon.coordinator`."""
