"""Images of tables: CSV and Parquet files, and data frames."""
