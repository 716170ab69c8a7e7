SELECT cows.id || ' ' || cows.name || ' is ' || cows.mood || ', ' || count(orders.id) || ' orders'
FROM cows
LEFT JOIN orders ON orders.cow_id = cows.id
GROUP BY cows.id
ORDER BY cows.name, cows.id
LIMIT 100
