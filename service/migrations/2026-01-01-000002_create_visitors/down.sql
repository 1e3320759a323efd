DROP TABLE visitor_debts;
DROP TABLE visitors;
