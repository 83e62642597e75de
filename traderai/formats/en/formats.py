"""How moments are written where no page says otherwise, the staff site above all: never without their zone."""

DATETIME_FORMAT = "j M Y H:i:s e"
SHORT_DATETIME_FORMAT = "j M Y H:i e"
DATE_FORMAT = SHORT_DATE_FORMAT = "j M Y"
