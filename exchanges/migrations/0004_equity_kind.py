from django.db import migrations, models

KINDS = ["spot", "perpetual", "equity"]


class Migration(migrations.Migration):
    dependencies = [("exchanges", "0003_flatten_switch")]
    operations = [
        migrations.RemoveConstraint(model_name="market", name="market_kind_known"),
        migrations.AlterField(
            model_name="market",
            name="kind",
            field=models.CharField(choices=[("spot", "Spot"), ("perpetual", "Perpetual future"), ("equity", "Share")], max_length=10),
        ),
        migrations.AddConstraint(
            model_name="market",
            constraint=models.CheckConstraint(condition=models.Q(("kind__in", KINDS)), name="market_kind_known"),
        ),
    ]
