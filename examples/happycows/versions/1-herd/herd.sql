SELECT id || ' ' || name
FROM cows
ORDER BY id
LIMIT 100
