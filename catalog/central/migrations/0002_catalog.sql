-- In the making.
SELECT 1;
